"""What can be done with a call's own sound while it runs: play, speak, gather, record, suppress noise, add sinks."""
