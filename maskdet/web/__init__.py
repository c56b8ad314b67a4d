"""The dashboard's parts: the only room of the package that knows Streamlit."""
