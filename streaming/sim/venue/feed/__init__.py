"""The websocket side: clients, subscriptions, and what is played to them when."""
