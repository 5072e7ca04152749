"""What one sample is: its fields, labels, joints, and what must hold of them."""
