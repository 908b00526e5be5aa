"""The doors to other processes: gRPC service and client, command line."""
