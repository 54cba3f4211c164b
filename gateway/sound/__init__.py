"""What can be played: files, arrays and generators, read in pieces and made into samples at the rate of a call."""
