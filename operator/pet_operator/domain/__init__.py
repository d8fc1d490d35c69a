"""The operator's judgement, pure: from what is seen of a job to what is to be done. No I/O, no clock, no randomness."""
