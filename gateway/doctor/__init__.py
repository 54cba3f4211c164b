"""`telnyx-gateway doctor`: looks at settings, keys, this machine, and how it is reached; says what to mend."""
