"""The server of the dashboard: launch, login, uploads and patches of Streamlit."""
