"""Who is trained on, who is tested: protocols made of the samples of a base, which stay where they are."""
