"""To the Hugging Face Hub and back: what may be published, what is sent, what is fetched."""
