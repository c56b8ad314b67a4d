"""The analysis of images and videos over HTTP, for `maskdet serve`."""
