"""Voice activity: when the person on the leg begins to speak, and when that is over."""
