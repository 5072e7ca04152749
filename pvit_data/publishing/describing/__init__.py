"""What a publication says of itself besides the manifest: Croissant, a picture, sections of the card."""
