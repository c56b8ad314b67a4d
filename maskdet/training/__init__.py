"""Training and export. Only this package imports TensorFlow and Keras."""
