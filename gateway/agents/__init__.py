"""What answers the caller: the contract of an agent, and the agents that come with the gateway."""
