"""What is heard: the sound between the wire and the sinks. No I/O and no clock in here."""
