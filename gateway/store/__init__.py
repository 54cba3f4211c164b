"""What must outlive the process: webhooks, calls and commands, in one small database."""
