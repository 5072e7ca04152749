"""What lies on disk: members, records, archives, index, receipts, manifest."""
