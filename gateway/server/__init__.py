"""The media sockets: transports, admission, the sessions behind them, and the way down."""
