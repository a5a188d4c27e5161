-- The version of a campaign that last made users begin anew (`progress: RESET`); 0 = none ever did.
-- Users keep the one that their progress was made under, and compare it when they next meet the quest.
alter table campaigns add column progress_version integer not null default 0;
