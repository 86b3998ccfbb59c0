-- SPDX-License-Identifier: MIT
DROP TABLE IF EXISTS conform_notes;
DROP TABLE IF EXISTS conform_events;
