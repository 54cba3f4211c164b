"""The agent that hears by a transcriber, thinks by a chat endpoint and speaks by a speech service."""
