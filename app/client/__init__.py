"""Start or find the service and talk to it over HTTP. No Qt here, no engine."""
