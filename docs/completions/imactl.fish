# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_imactl_global_optspecs
    string join \n json root= h/help V/version
end

function __fish_imactl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_imactl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_imactl_using_subcommand
    set -l cmd (__fish_imactl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c imactl -n "__fish_imactl_needs_command" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_needs_command" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_needs_command" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_needs_command" -s V -l version -d 'Print version'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "status" -d 'Show what is protected here, and what wants mending'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "relabel" -d 'Write the labels that packages bring, where they are missing, stale or mere hashes'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "check" -d 'Verify the labels of packaged files against their content, or say whether the next boot comes through'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "verify" -d 'Verify the labels of packaged files against their content, or say whether the next boot comes through'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "explain" -d 'Say whether the kernel lets a file be used, by which rule and label, and what mends it'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "labels" -d 'Show and put back what was done to labels'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "policy" -d 'Check, lay out, list and show policies'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "trial" -d 'Show what boots proved of policies, and let a policy that was given up be tried again'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "doctor" -d 'Look for everything that will make appraisal fail or an update hurt some day, with the steps that mend it'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "setup" -d 'Arm a policy for the next boot: certificates, labels, initramfs images, the check of the next boot, the policy'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "teardown" -d 'Put back what setup changed'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "rehearse" -d 'Ask the next boot what a policy would deny, before anything is denied; without a policy, show what the last one said'
complete -c imactl -n "__fish_imactl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand status" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand status" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand status" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -l package -d 'Only the files of this package; may be repeated' -r
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -l dry-run -d 'Write nothing, say what would be written'
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -l full -d 'Read every file, also those whose content cannot have changed since their labels were verified'
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand relabel" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand check" -l package -d 'Only the files of this package; may be repeated' -r
complete -c imactl -n "__fish_imactl_using_subcommand check" -l kernel -d 'With --next-boot: only the kernel with this release (uname -r)' -r
complete -c imactl -n "__fish_imactl_using_subcommand check" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand check" -l full -d 'Read every file, also those whose content cannot have changed since their labels were verified'
complete -c imactl -n "__fish_imactl_using_subcommand check" -l next-boot -d 'Say whether the next boot comes through: every bootable kernel with its own initramfs and command line, under the policy and the keys that will be there'
complete -c imactl -n "__fish_imactl_using_subcommand check" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand check" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l package -d 'Only the files of this package; may be repeated' -r
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l kernel -d 'With --next-boot: only the kernel with this release (uname -r)' -r
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l full -d 'Read every file, also those whose content cannot have changed since their labels were verified'
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l next-boot -d 'Say whether the next boot comes through: every bootable kernel with its own initramfs and command line, under the policy and the keys that will be there'
complete -c imactl -n "__fish_imactl_using_subcommand verify" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand verify" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand explain" -l as -d 'What is done with it; by default what such a file is for' -r -f -a "exec\t''
mmap\t''
read\t''
write\t''
module\t''
firmware\t''
kexec\t''
kexec-initramfs\t''
policy\t''"
complete -c imactl -n "__fish_imactl_using_subcommand explain" -l uid -d 'By the user with this number; by default by whoever asks' -r
complete -c imactl -n "__fish_imactl_using_subcommand explain" -l policy -d 'Judge by this policy (name or file) as if it were loaded, not by the rules in force' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand explain" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand explain" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand explain" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -f -a "history" -d 'Show every change of a file\'s label that the label journal knows; without a file, the jobs that changed labels'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -f -a "revert" -d 'Put back what a job did to labels, where nothing else happened to them since'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -f -a "exitrd" -d 'Label the initramfs that dracut unpacked for the shutdown; where the policy would deny it all the same, have systemd end the system by itself'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and not __fish_seen_subcommand_from history revert exitrd help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from history" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from history" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from revert" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from revert" -l dry-run -d 'Write nothing, say what would be put back'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from revert" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from revert" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from exitrd" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from exitrd" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from exitrd" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from help" -f -a "history" -d 'Show every change of a file\'s label that the label journal knows; without a file, the jobs that changed labels'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from help" -f -a "revert" -d 'Put back what a job did to labels, where nothing else happened to them since'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from help" -f -a "exitrd" -d 'Label the initramfs that dracut unpacked for the shutdown; where the policy would deny it all the same, have systemd end the system by itself'
complete -c imactl -n "__fish_imactl_using_subcommand labels; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "check" -d 'Say whether the kernel would take policy files, why not, and what loads but bricks, opens a hole or surprises'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "diff" -d 'Say which packaged files another policy denies or lets through, that this one does not'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "fmt" -d 'Lay policy files out: one blank between words, words in the kernel\'s order; comments and the order of rules stay'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "list" -d 'List the policies that have names'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "show" -d 'Show the rules in effect, or those of a policy, with the lines that they come from'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and not __fish_seen_subcommand_from check diff fmt list show help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -l kernel-config -d 'Judge for the kernel with this configuration, compressed by gzip or not, instead of the running one' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -l each-line -d 'Judge every line as a policy of its own, and print one JSON object a line'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -l strict -d 'Let warnings be a no (exit status 1)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Show notes too, and where what is known of the kernel comes from'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l uid -d 'Files are used by the user with this number' -r
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from diff" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l check -d 'Change nothing; say which files would change (exit status 1)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from fmt" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from list" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from list" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from show" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from show" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say whether the kernel would take policy files, why not, and what loads but bricks, opens a hole or surprises'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "diff" -d 'Say which packaged files another policy denies or lets through, that this one does not'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "fmt" -d 'Lay policy files out: one blank between words, words in the kernel\'s order; comments and the order of rules stay'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the policies that have names'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the rules in effect, or those of a policy, with the lines that they come from'
complete -c imactl -n "__fish_imactl_using_subcommand policy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -f -a "status" -d 'Show which policies carried this machine to a confirmed boot, which is on trial, and which was given up and why'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -f -a "acknowledge" -d 'Take notice of a policy that was given up, so that it is tried again at the next boot'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and not __fish_seen_subcommand_from status acknowledge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from status" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from status" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from acknowledge" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from acknowledge" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from acknowledge" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show which policies carried this machine to a confirmed boot, which is on trial, and which was given up and why'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from help" -f -a "acknowledge" -d 'Take notice of a policy that was given up, so that it is tried again at the next boot'
complete -c imactl -n "__fish_imactl_using_subcommand trial; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand doctor" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand doctor" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l policy -d 'The policy: a name (see imactl policy list) or a signed file, with --root inside of it' -r
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l cert -d 'A certificate to put into the keys folder, DER or PEM; may be repeated' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l dry-run -d 'Change nothing, say what would be done and what is in the way'
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l force -d 'Arm it even where a step says no; what that is likely to break is said'
complete -c imactl -n "__fish_imactl_using_subcommand setup" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand setup" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand teardown" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand teardown" -l dry-run -d 'Change nothing, say what would be put back'
complete -c imactl -n "__fish_imactl_using_subcommand teardown" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand teardown" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -l policy -d 'Make the next boot a rehearsal of this policy: a name (see imactl policy list) or a file, with --root inside of it' -r
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -l root -d 'Work on the root in this folder, without the daemon' -r -F
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -l dry-run -d 'Change nothing, say what the next boot would do'
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -l cancel -d 'Let the next boot be no rehearsal'
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -l json -d 'Print JSON (see imactl(1) for the schema)'
complete -c imactl -n "__fish_imactl_using_subcommand rehearse" -s h -l help -d 'Print help'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "status" -d 'Show what is protected here, and what wants mending'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "relabel" -d 'Write the labels that packages bring, where they are missing, stale or mere hashes'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "check" -d 'Verify the labels of packaged files against their content, or say whether the next boot comes through'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "explain" -d 'Say whether the kernel lets a file be used, by which rule and label, and what mends it'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "labels" -d 'Show and put back what was done to labels'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "policy" -d 'Check, lay out, list and show policies'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "trial" -d 'Show what boots proved of policies, and let a policy that was given up be tried again'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "doctor" -d 'Look for everything that will make appraisal fail or an update hurt some day, with the steps that mend it'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "setup" -d 'Arm a policy for the next boot: certificates, labels, initramfs images, the check of the next boot, the policy'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "teardown" -d 'Put back what setup changed'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "rehearse" -d 'Ask the next boot what a policy would deny, before anything is denied; without a policy, show what the last one said'
complete -c imactl -n "__fish_imactl_using_subcommand help; and not __fish_seen_subcommand_from status relabel check explain labels policy trial doctor setup teardown rehearse help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from labels" -f -a "history" -d 'Show every change of a file\'s label that the label journal knows; without a file, the jobs that changed labels'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from labels" -f -a "revert" -d 'Put back what a job did to labels, where nothing else happened to them since'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from labels" -f -a "exitrd" -d 'Label the initramfs that dracut unpacked for the shutdown; where the policy would deny it all the same, have systemd end the system by itself'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "check" -d 'Say whether the kernel would take policy files, why not, and what loads but bricks, opens a hole or surprises'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "diff" -d 'Say which packaged files another policy denies or lets through, that this one does not'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "fmt" -d 'Lay policy files out: one blank between words, words in the kernel\'s order; comments and the order of rules stay'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "list" -d 'List the policies that have names'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from policy" -f -a "show" -d 'Show the rules in effect, or those of a policy, with the lines that they come from'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from trial" -f -a "status" -d 'Show which policies carried this machine to a confirmed boot, which is on trial, and which was given up and why'
complete -c imactl -n "__fish_imactl_using_subcommand help; and __fish_seen_subcommand_from trial" -f -a "acknowledge" -d 'Take notice of a policy that was given up, so that it is tried again at the next boot'
