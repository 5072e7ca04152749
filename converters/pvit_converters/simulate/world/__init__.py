"""Scenes, people and light with exact truth, before any source's layout."""
