"""Noise, put to work."""
