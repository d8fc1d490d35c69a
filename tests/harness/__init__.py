"""What component and reliability tests share: real trainings as child processes, and faults injected into them."""
