"""A backbone: a pretrained network that is not trained again and turns a picture into features for a small model."""
