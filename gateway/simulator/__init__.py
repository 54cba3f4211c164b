"""Telnyx's side of a call, without an account: REST, signed webhooks, and the media WebSocket."""
