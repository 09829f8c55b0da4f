/* SPDX-License-Identifier: BSD-3-Clause
 * A ring with one producer and one consumer.  Each side keeps its own position (next), stores it, then publishes it
 * (tail).  Users crash anywhere and are replaced by others, who know nothing of them; recovery publishes what a dead user
 * left unpublished, at any time, without knowing whether the user lives, and may stop half-way.
 *
 * Proved: every object that was put is delivered once and in order, tails never go back, and in the end nothing is left
 * unpublished once each side was used or recovered.
 * With -DBROKEN=n a rule is left out, and the check must fail:
 *   1  recovery stores the tail without looking whether it has moved
 *   2  the tail is stored before the side's own position
 */
#ifndef BROKEN
#define BROKEN 0
#endif
#define SLOTS 2
#ifndef TURNS
#define TURNS 3
#endif
#define CRASHES 2

byte pnext, ptail, cnext, ctail;
byte slot[SLOTS];
byte delivered, crashes, finished;

#define crash_point \
  if \
  :: crashes < CRASHES -> atomic { crashes++; goto next_user } \
  :: skip \
  fi

proctype producer() {
  byte pos, t, turns;
next_user:
  do
  :: turns == TURNS -> break
  :: else ->
    turns++;
    pos = pnext;
    t = ctail;
    if
    :: pos - t < SLOTS ->
      slot[pos % SLOTS] = pos + 1;
      crash_point;
      if
      :: BROKEN == 2 -> ptail = pos + 1
      :: else -> pnext = pos + 1
      fi;
      crash_point;
      if
      :: BROKEN == 2 -> pnext = pos + 1
      :: else -> ptail = pos + 1
      fi
    :: else ->
      if
      :: ptail != pos -> ptail = pos
      :: else -> skip
      fi
    fi
  od;
  finished++
}

proctype consumer() {
  byte pos, t, object, turns;
next_user:
  do
  :: turns == TURNS -> break
  :: else ->
    turns++;
    pos = cnext;
    t = ptail;
    if
    :: t > pos ->
      object = slot[pos % SLOTS];
      crash_point;
      atomic {
        assert(object == pos + 1 && delivered == pos);
        delivered = object;
        cnext = pos + 1
      };
      crash_point;
      ctail = pos + 1
    :: else ->
      if
      :: ctail != pos -> ctail = pos
      :: else -> skip
      fi
    fi
  od;
  finished++
}

proctype recovery() {
  byte tail, next, runs;
  do
  :: runs == 2 -> break
  :: else ->
    runs++;
    tail = ptail;
    next = pnext;
    atomic {
      if
      :: next != tail && (BROKEN == 1 || ptail == tail) -> assert(ptail <= next); ptail = next
      :: else -> skip
      fi
    };
    tail = ctail;
    next = cnext;
    atomic {
      if
      :: next != tail && (BROKEN == 1 || ctail == tail) -> assert(ctail <= next); ctail = next
      :: else -> skip
      fi
    }
  od;
  finished++
}

init {
  atomic { run producer(); run consumer(); run recovery() };
  finished == 3;
  /* the last recovery */
  if
  :: pnext != ptail -> ptail = pnext
  :: else -> skip
  fi;
  if
  :: cnext != ctail -> ctail = cnext
  :: else -> skip
  fi;
  assert(delivered == ctail && ctail <= ptail && ptail - ctail <= SLOTS);
  do
  :: ctail == ptail -> break
  :: else -> assert(slot[ctail % SLOTS] == ctail + 1); ctail++
  od
}
