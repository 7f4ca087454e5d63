"""Seeing: videos, pictures, live views."""
