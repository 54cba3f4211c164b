"""Where sound goes: the contract of a sink, and the sinks that come with the gateway."""
