"""Simple alternatives to a student: models without a pretrained encoder, or with an encoder that is not trained."""
