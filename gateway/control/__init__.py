"""The HTTP side: Telnyx's webhooks, Call Control commands, and what the operator asks."""
