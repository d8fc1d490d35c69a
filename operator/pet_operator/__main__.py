"""`python -m pet_operator` is `pet-operator`."""

from pet_operator.main import main

if __name__ == "__main__":
    main()
