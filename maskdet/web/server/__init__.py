"""The server of the dashboard: launch, access, uploads and patches of Streamlit."""
