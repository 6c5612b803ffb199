/* How several workers share one backlog. Three of them do whatever they see to be done, each by what it has read,
 * which may be old: no lease keeps anybody away, since one that has ended, or was handed out twice, must do no harm. What
 * is recorded counts only by what holds at that very place of the manifest; a statement on the column only while the
 * job's last move is the worker's own (`hold`). `npm run model` has spin look at every state, and leaves out each of these. */
#define ROWS 2
#define JOBS 3
#define ROOM 1                                              /* jobs in Gemini's queue, and what may be spent in all */
#define BUDGET 2
mtype = { none, exported, submitted, imported, rollingBack, rolledBack };

byte jobs; mtype state[JOBS + 1] = none; byte moves[JOBS + 1], rowOf[JOBS + 1];
byte jobOf[ROWS + 1];                                       /* that has the row on its way, or has written it */
byte vectorOf[ROWS + 1];                                    /* the job that wrote it; 0 is NULL */
byte queued, spent;

#ifdef NOT_FREE
#define isFree true                                         /* as it was when the rows were read */
#else
#define isFree (jobOf[row] == 0)
#endif
#ifdef ADMITTED_BEFORE
#define isAdmitted (hadRoom)
#else
#define isAdmitted (queued < ROOM && spent < BUDGET)
#endif
#ifdef WRITTEN_UNHELD
#define mayWrite true
#else
#define mayWrite inHand
#endif
#ifdef CLEARED_UNHELD
#define mayClear true
#else
#define mayClear inHand
#endif
#define inHand (moves[job] == mine)
#define record(event) state[job] = event; moves[job]++; mine = moves[job]

active [3] proctype Worker() {
  byte job, row, mine; mtype seems; bool hadRoom;
endLook:
  atomic {
    job = 0; row = 0; mine = 0; seems = none; hadRoom = queued < ROOM && spent < BUDGET;
    if                                                      /* any row that seems free, or any job */
    :: jobs < JOBS && jobOf[1] == 0 -> row = 1
    :: jobs < JOBS && jobOf[2] == 0 -> row = 2
    :: jobs >= 1 && state[1] != rolledBack -> job = 1
    :: jobs >= 2 && state[2] != rolledBack -> job = 2
    :: jobs >= 3 && state[3] != rolledBack -> job = 3
    fi;
    if :: job > 0 -> seems = state[job]; mine = moves[job]; row = rowOf[job] :: else fi
  };
  if
  :: job == 0 ->               /* its file is written; then: */
     atomic { if :: isFree && jobs < JOBS -> jobs++; job = jobs; rowOf[job] = row; record(exported);
                    assert(jobOf[row] == 0);                /* a row is in one job */
                    jobOf[row] = job
              :: else fi }
  :: seems == exported ->
     atomic { if :: inHand && isAdmitted -> record(submitted); queued++; spent++;
                    assert(queued <= ROOM && spent <= BUDGET)
              :: else fi }
  :: seems == submitted ->                                  /* chunk by chunk, and each may be the last one */
     atomic { if :: mayWrite && vectorOf[row] == 0 ->
                    assert(state[job] == submitted);        /* none after a rollback began */
                    vectorOf[row] = job
              :: else fi };
     atomic { if :: inHand -> record(imported); queued-- :: else fi }
  :: seems == submitted || seems == imported ->             /* a person takes it back */
     atomic { if :: inHand -> if :: state[job] == submitted -> queued-- :: else fi; record(rollingBack) :: else fi }
  :: seems == rollingBack ->
     atomic { if :: mayClear && vectorOf[row] != 0 ->
                    assert(vectorOf[row] == job);           /* it is no later job's */
                    vectorOf[row] = 0
              :: else fi };
     atomic { if :: inHand -> record(rolledBack); jobOf[row] = 0; assert(vectorOf[row] != job) :: else fi }
  :: else                                                   /* nothing to do about it */
  fi;
  goto endLook
}
