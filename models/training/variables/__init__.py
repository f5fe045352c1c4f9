"""The variables of a model as they are while it is trained: without what the training does not need."""
