"""The gateway's side towards the services: kept connections, replicas, breakers and retries."""
