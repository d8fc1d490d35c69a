"""What `pet.engine.checkpointer` is made of: the state that is saved, the files that are read, and what fits what."""
