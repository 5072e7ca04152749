"""Codecs: arrays to bytes and back, one file per kind of member, chosen by a closed table and never by content."""
