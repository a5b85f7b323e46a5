"""What a person or a program learns of a run: progress, summary, counters and log lines without secrets."""
