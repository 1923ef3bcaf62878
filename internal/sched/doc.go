// Package sched decides what the leader does with its jobs and nodes: which queued job starts
// where, which running job gives its nodes up at the next step boundary, and what to tell the
// clients of all others. [Decide] is a pure function of a [View]. It takes no lock, reads no clock
// and talks to nobody, so the same view always gives the same decisions, and a table can test them.
//
// The leader calls Decide on every tick and whenever something has happened that may change the
// answer. It then carries the decisions out: it commits placements to the log, orders ranks to
// start or to yield, and keeps the reasons for clients to read. A decision that could not be
// carried out needs no undoing, since the next view shows what really happened.
//
// The policy in short:
//
//   - Jobs of a higher priority come first. Among equal ones the team goes first that has had the
//     least device time by its weight, then the owner within it, then the older job: see [Ledger].
//     With one owner that is the older job. One that has begun goes on before others begin.
//   - Whoever has as many running jobs as it may have, or has had the device-seconds of its day,
//     waits and lets all others pass; in the second case running jobs stop at a step boundary.
//   - A job runs on nodes that have its model. One that waits for busy nodes keeps those that have
//     its model for itself, so that it gets its turn. One that waits for nodes that do not exist
//     lets others pass.
//   - Loading a model takes time. A job takes the nodes that have its model loaded; others, where
//     there are none or it asks for more: first those whose loaded models nobody waits for, of
//     these the one that has been idle for longest.
//   - A job for which a loaded model has to go lets jobs of the same priority pass that want just
//     that model, for loadsPatience times as long as loading takes. So a queue that alternates
//     between models spends a fifth of its time with loading at most, and a job waits no longer for
//     its model than that and the job that runs then.
//   - A blocked job of a higher priority preempts running ones: they stop at a step boundary, or in
//     mid-step when that takes too long.
//   - Where nothing waits, one running job at a time may move to more nodes, if the time that this
//     saves is worth the restart. So may a job whose nodes turn out to differ in speed, to share
//     its windows accordingly.
package sched
