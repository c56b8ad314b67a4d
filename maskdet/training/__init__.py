"""Training and export: the only room that imports TensorFlow or Keras."""
