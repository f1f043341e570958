//! What operators have beside the program: alert rules, a dashboard, a unit, a Dockerfile.
