"""A real-time media gateway between Telnyx calls and voice applications."""
