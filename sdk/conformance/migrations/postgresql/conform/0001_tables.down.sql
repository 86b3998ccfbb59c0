-- SPDX-License-Identifier: MIT
DROP TABLE conform_notes;
DROP TABLE conform_events;
DROP TABLE conform_many;
DROP TABLE conform_parts;
DROP TABLE conform_things;
DROP TABLE conform_values;
