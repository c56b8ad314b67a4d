"""Training and export. Only this package imports TensorFlow and Keras."""

import os

# Set before TensorFlow is imported: silences its warnings about missing GPUs.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
