"""What is said between Telnyx and the gateway: no I/O and no clock in here."""
