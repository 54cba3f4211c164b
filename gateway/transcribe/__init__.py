"""What is said in a call, as text: streaming services, a local recogniser, Telnyx's own (docs/transcribers.md)."""
