"""Pet on Kubernetes: the controller of PetTrainingJobs, and the command line."""
