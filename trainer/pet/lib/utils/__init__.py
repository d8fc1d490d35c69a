"""Pet's own import paths for what users' hook files name; the code lies in `pet.engine`."""
