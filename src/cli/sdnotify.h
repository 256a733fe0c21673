/* systemd's readiness protocol (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names. */
#ifndef CLI_SDNOTIFY_H
#define CLI_SDNOTIFY_H

/* Sends printf's text, e.g. "READY=1". Does nothing without NOTIFY_SOCKET; failures are ignored: nobody waits. Any thread. */
void sd_tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
