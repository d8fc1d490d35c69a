"""Data sets: where they lie (`catalogue`), how they are read, and how the samples' ones are fetched (`fetch`)."""
